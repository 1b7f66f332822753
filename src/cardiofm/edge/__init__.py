"""The network outside torch: written as ONNX graphs (`export`), run by ONNX Runtime alone (`runtime`)."""
