"""The network: tensors in, tensors out (torch). Import the submodules; nothing heavy is imported here."""
