"""What Prefect calls blocks, as far as Towpath needs them: `towpath.blocks.system.Secret`."""
