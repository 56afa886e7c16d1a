"""Images with Pillow, in processes of their own."""
