"""Access: who may do what, and how soon again."""
