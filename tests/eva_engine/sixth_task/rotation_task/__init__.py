"""A made-up task: by how many quarter turns is an image rotated?"""
