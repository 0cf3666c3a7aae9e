"""Demos: each script trains small networks and measures one claim about recurrent networks.

`tinygrad-rnn demo --list` lists them. The scripts are in the folders of this package: `theory`,
`memory`, `text` and `signals`. To add a demo, add a file to one of these folders; its form is
described in `runner`.
"""
