#!/bin/sh
# `sudo genregenie doctor`, `invite`, `backup FILE`: as the service's own user, with its settings and its data.
# Copy to /usr/local/bin/genregenie; for the service of deploy/genregenie.service.
exec systemd-run --quiet --pipe --wait --collect \
    --property=User=genregenie --property=StateDirectory=genregenie --property=UMask=0077 \
    --property=EnvironmentFile=/etc/genregenie.env --setenv=GENREGENIE_DATA_DIR=/var/lib/genregenie \
    --working-directory=/opt/genregenie /opt/genregenie/.venv/bin/python -m genregenie "$@"
