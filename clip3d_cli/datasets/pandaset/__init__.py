"""PandaSet, as published or repacked as arrays."""
