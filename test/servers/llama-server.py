"""Serves a GGUF model with llama.cpp's own HTTP server, as `tiny`, until it is killed. Ends with a message when the model cannot be loaded.

Usage: llama-server.py MODEL PORT. Four slots of 2,048 tokens and one thread; all else as llama-server has it by default.
"""
import signal
import sys

import xllamacpp

_, model, port = sys.argv
params = xllamacpp.CommonParams()
params.model.path = model
params.model_alias = {"tiny"}
params.hostnames = ["127.0.0.1"]
params.port = int(port)
params.n_parallel = 4
params.n_ctx = 8192
params.cpuparams.n_threads = 1
params.cpuparams_batch.n_threads = 1
params.use_jinja = True
params.ui = False
# It serves in threads of its own, for as long as it is referred to.
server = xllamacpp.Server(params)
signal.pause()
