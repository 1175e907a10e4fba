"""The CMS: content teams steer videos, playlists, rules, feeds, configuration, models, experiments, keys, preview.

RESOURCE/api.py      endpoints: declared at their handlers
RESOURCE/models.py   what is sent (forms), stored and answered (views); pure
endpoint.py          declares CMS endpoints: what all of them share
request.py           an authenticated CMS request: body, If-Match, page, author
drafted.py           drafts of named documents: save, throw away, publish
documents.py         the one flow: read → If-Match → check → write with audit → refresh → answer with ETag
changes.py           a change and its audit entry in one atomic batch
forms.py views.py    strict forms with plain messages; fields that responses share
audit.py             the history of changes, and taking one back
apis.py              builds the endpoints from the parts they need
"""
