"""Analysis: numbers, tables of text and pictures of results."""
