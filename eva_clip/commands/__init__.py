"""Commands of EVA-CLIP: its demo, and weight files of and for others."""
