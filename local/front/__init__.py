"""Start page of one machine, which plays a feed; its clips, and the program that draws them."""
