"""How heads are fitted and judged; needs scikit-learn, and torch for attention and for tuning the encoder."""
