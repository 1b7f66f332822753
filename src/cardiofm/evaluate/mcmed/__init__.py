"""The SignalMC-MED protocol for a user who has MC-MED: visits, labels, frozen probes, and a synthetic stand-in."""
