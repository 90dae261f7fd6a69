"""The rack as the engine sees it: real resource providers over gRPC, one a package, in this process."""
