"""Sample uploads: valid files, and files whose content differs from their declared type."""

from __future__ import annotations

JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + b"\x01" * 600
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + b"\x02" * 600
WEBP = b"RIFF\x00\x02\x00\x00WEBPVP8 " + b"\x03" * 600
MP4 = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp42" + b"\x04" * 600
WEBM = b"\x1a\x45\xdf\xa3\x93\x42\x82\x84webm\x42\x87\x81\x04" + b"\x05" * 600
GOOD = {"image/jpeg": JPEG, "image/png": PNG, "image/webp": WEBP, "video/mp4": MP4, "video/webm": WEBM}

SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"></svg>'
HTML = b"<!doctype html><script>alert(1)</script>"
HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + b"\x00" * 600
MATROSKA = WEBM.replace(b"\x84webm", b"\x88matroska")
GIF = b"GIF89a" + b"\x00" * 600
BAD = {"svg": SVG, "html": HTML, "heic": HEIC, "matroska": MATROSKA, "gif": GIF, "empty": b"", "cut": JPEG[:2]}
