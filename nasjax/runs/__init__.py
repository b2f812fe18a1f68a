"""Runs on disk: folders, checkpoints, the one resumable loop, frames of scripts."""
