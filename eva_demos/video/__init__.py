"""The video demo: recognise the direction and speed at which a clip is played."""
