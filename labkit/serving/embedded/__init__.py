"""A model server that speaks TensorFlow Serving's protocols, as a process of its own.

The parts, from the door inwards: `rest` and `grpc_services` turn bytes into numpy arrays and back, `predict` runs one
request on one servable, `versions` decides which servables there are, `session` is a SavedModel in TensorFlow's C++
runtime. Nothing in this package imports Python TensorFlow (`python_session`, the fallback, apart).
"""
