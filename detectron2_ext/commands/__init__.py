"""Commands that detection adds."""
