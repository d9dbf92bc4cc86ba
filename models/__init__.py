"""A voice and how it speaks: checkpoints, prompts, sampling; torch lives only in `models.engine`."""
