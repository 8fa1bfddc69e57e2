"""llama.cpp's own server, from a prebuilt wheel: the second one that `make test-llm` points the controller at.

python llama_server.py MODEL.gguf: prints one line of JSON with its url; ends with its standard input.
"""

import json
import os
import sys

import xllamacpp

params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.model_alias = {os.environ["AEGIS_LLM_MODEL_NAME"]}
params.hostnames = ["127.0.0.1"]
params.port = 0
params.n_ctx = 16_384
params.n_parallel = 1
params.n_gpu_layers = 0
params.ui = False
params.verbosity = 1
# Two threads that wait for each other on a core that is taken are slower than one by orders of magnitude.
params.cpuparams.n_threads = int(os.environ.get("AEGIS_LLM_THREADS", "1"))
params.cpuparams_batch.n_threads = params.cpuparams.n_threads
server = xllamacpp.Server(params)
print(json.dumps({"url": f"{server.listening_address}/v1"}), flush=True)
sys.stdin.read()
# It has no way to be ended that waits for nothing.
os._exit(0)
