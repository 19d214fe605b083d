"""How a clip is played: direction and speed."""
