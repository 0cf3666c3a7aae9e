"""Demos on other sequences: sound, music, images, video, time series and DNA."""
