"""The inference engine, a child process that owns the device: `python -P -m models.engine`."""

import os

# Otherwise Intel's matrix library may share the same product out among threads in another way when the machine is busy,
# and a resumed training would differ in a last bit. It reads this at its first product.
os.environ.setdefault("MKL_CBWR", "AUTO")
