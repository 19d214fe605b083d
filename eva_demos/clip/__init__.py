"""Demo of EVA-CLIP on handwritten digits with captions."""
