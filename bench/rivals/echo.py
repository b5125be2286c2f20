"""A gRPC server that answers every message with itself: `python echo.py PORT`.

Same library as labkit's embedded server (grpc.aio on uvloop), nothing decoded: the floor under every gRPC answer.
"""

import sys

import grpc
import uvloop


async def echo(message: bytes, context: grpc.aio.ServicerContext) -> bytes:
    """The message itself, never decoded."""
    return message


async def main(port: int) -> None:
    """Serve `/echo.Echo/Echo` on the loopback until ended; the log names the port, also for port 0."""
    server = grpc.aio.server()
    methods = {"Echo": grpc.unary_unary_rpc_method_handler(echo)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("echo.Echo", methods),))
    print(f"Running echo at 127.0.0.1:{server.add_insecure_port(f'127.0.0.1:{port}')} ...", flush=True)
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
