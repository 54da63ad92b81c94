"""The server's side of gRPC: servicers, converters, one boundary."""
