"""The front door of one machine: a page that plays a feed, its clips, and the program that draws them."""
