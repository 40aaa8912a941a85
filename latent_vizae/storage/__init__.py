"""Files and folders, written whole or not at all; the Hub; shards by one process or many."""
