"""Which of a corpus's texts a training takes: in which epoch, how likely the student finds them, and how many in all."""
