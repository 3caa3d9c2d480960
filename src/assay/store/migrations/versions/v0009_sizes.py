"""How many examples each trial was trained and tested on.

Of older trials on a drawn test set, they are read from the sentence that says what was drawn.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Adds the columns, with null in every stored result."""
    for name in ("train_examples", "test_examples"):
        op.add_column("result", sa.Column(name, sa.BigInteger()))
