#!/bin/sh
# One model from two variables, as in TensorFlow Serving's image; what stands behind the image's name are flags, and
# the last one of a kind counts. `exec` makes the server process 1: it gets the signal of `docker stop` and drains.
exec python -P -m labkit.serving.embedded.main \
    --bind_address=0.0.0.0 --port=8500 --rest_api_port=8501 \
    --model_name="${MODEL_NAME}" --model_base_path="${MODEL_BASE_PATH}/${MODEL_NAME}" "$@"
