"""R2 and RMSE of regressions on each part of the data.

Older trials are classifications, which have none.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Adds the columns, with null in every stored result."""
    for name in ("r2", "rmse", "train_r2", "train_rmse", "validation_r2", "validation_rmse"):
        op.add_column("result", sa.Column(name, sa.Double()))
