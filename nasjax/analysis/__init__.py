"""Analysis of results: statistics, text tables and plots."""
