"""What the released models cost where signals are: time, memory and start on one core, and what fewer bits take."""
