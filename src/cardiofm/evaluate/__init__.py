"""What the model is worth on real recordings: metrics, patient-clustered intervals, floors and the published table."""
