"""Asks a node for the digits model as Triton's clients do, and compares with ONNX Runtime."""

import asyncio
import itertools
import sys
import urllib.error
import urllib.request

import numpy as np
import onnxruntime
import tritonclient.http as http
import tritonclient.http.aio as aio
from tritonclient.utils import InferenceServerException

MODEL = "digits"


def inputs(module, pictures, binary):
    tensor = module.InferInput("image", list(pictures.shape), "FP32")
    tensor.set_data_from_numpy(pictures, binary_data=binary)
    return [tensor]


def refused(ask, status, text):
    try:
        ask()
    except InferenceServerException as e:
        assert e.status() == status and text in e.message(), (e.status(), e.message())
        return
    raise AssertionError(f"no refusal, want {status} {text}")


def check_metadata(client):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready(MODEL) and client.is_model_ready(MODEL, "1") and not client.is_model_ready("nobody")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    assert client.get_model_metadata(MODEL)["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, 1, 8, 8]}]
    assert client.get_model_config(MODEL)["max_batch_size"] == 4


def check_answers(client, pictures, want):
    forms = itertools.product([True, False], [True, False], [None, "gzip", "deflate"], [None, "gzip", "deflate"])
    for binary_in, binary_out, request, response in forms:
        answer = client.infer(
            MODEL,
            inputs(http, pictures[:4], binary_in),
            outputs=[http.InferRequestedOutput("probabilities", binary_data=binary_out)],
            request_id="r1",
            request_compression_algorithm=request,
            response_compression_algorithm=response,
        )
        assert answer.get_response()["id"] == "r1"
        np.testing.assert_allclose(answer.as_numpy("probabilities"), want[:4], atol=1e-6)
    for n in range(len(pictures)):
        answer = client.infer(MODEL, inputs(http, pictures[n : n + 1], True))
        np.testing.assert_allclose(answer.as_numpy("probabilities"), want[n : n + 1], atol=1e-6)


def check_classification(client, pictures, want):
    top = client.infer(
        MODEL, inputs(http, pictures[:2], True), outputs=[http.InferRequestedOutput("probabilities", class_count=3)]
    ).as_numpy("probabilities")
    assert top.shape == (2, 3)
    assert [int(row[0].split(b":")[1]) for row in top] == list(want[:2].argmax(axis=1))


def check_refusals(client, address, pictures):
    good = inputs(http, pictures[:1], True)
    refused(lambda: client.infer("nobody", good), "404", 'unknown model "nobody"')
    refused(lambda: client.infer(MODEL, good, model_version="99"), "404", "unknown version 99")
    refused(lambda: client.infer(MODEL, inputs(http, pictures[:5], True)), "400", "the batch of 5 is over the 4")
    refused(lambda: client.infer(MODEL, inputs(http, pictures[:1, :, :4], True)), "400", "shape")
    body = bytes(16 << 20)  # urllib sends all of it before it looks at the answer
    try:
        urllib.request.urlopen(f"http://{address}/v2/models/nobody/infer", body)
        raise AssertionError("no refusal")
    except urllib.error.HTTPError as e:
        assert e.code == 404, e


async def check_asyncio(address, pictures, want):
    async with aio.InferenceServerClient(address) as client:
        assert await client.is_model_ready(MODEL)

        async def one(n):
            answer = await client.infer(MODEL, inputs(aio, pictures[n : n + 1], n % 2 == 0), request_id=str(n))
            assert answer.get_response()["id"] == str(n)
            np.testing.assert_allclose(answer.as_numpy("probabilities"), want[n : n + 1], atol=1e-6)

        await asyncio.gather(*[one(n) for n in range(50)])


def main(address):
    heldout = np.load("examples/digits/heldout.npz")
    pictures = (heldout["images"].astype(np.float32) / 16).reshape(-1, 1, 8, 8)
    session = onnxruntime.InferenceSession("examples/digits/digits.onnx", providers=["CPUExecutionProvider"])
    want = session.run(None, {"image": pictures})[0]
    client = http.InferenceServerClient(address)
    check_metadata(client)
    check_answers(client, pictures, want)
    check_classification(client, pictures, want)
    check_refusals(client, address, pictures)
    asyncio.run(check_asyncio(address, pictures, want))
    print(f"all as expected; {len(pictures)} answers equal ONNX Runtime {onnxruntime.__version__}'s in Python")


main(sys.argv[1])
