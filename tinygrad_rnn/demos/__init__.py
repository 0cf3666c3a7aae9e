"""Demos: scripts that train, measure and draw one claim about recurrent networks each."""
