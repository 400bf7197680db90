"""What each Arm kernel costs, from the built binary: exact instructions (emulated) and cycles (LLVM's core models)."""
