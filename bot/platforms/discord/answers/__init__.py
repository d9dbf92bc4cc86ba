"""Answers: what people asked and wait for, from the acknowledgement to the answer, and its buttons."""
