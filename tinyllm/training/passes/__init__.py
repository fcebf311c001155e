"""How a pass goes through the student at less cost: no padding, shared beginnings read once, frozen layers kept."""
