"""PandaSet as published, and repacked as arrays."""
