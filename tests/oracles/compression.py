"""Values of bfloat16 for host/privacy/src/compression.rs; needs torch."""
import torch

for value in [0.0, -0.0, 1.0, 0.1, -3.140625, 1.00390625, 1.01171875, 1e-40]:
    bits = torch.tensor(value, dtype=torch.float32).to(torch.bfloat16).view(torch.int16).item()
    print(f"({value!r}, 0x{bits & 0xFFFF:04x}),")
