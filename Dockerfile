# Three images from one file: `bot` (the default, which can serve the page too), `page` (the page alone) and `worker` (all of
# it for several machines, with what the queue needs: docs/scaling.md). For amd64 and arm64:
# everything is installed from wheels, nothing is compiled.
#   docker build -t genregenie .
#   docker buildx build --platform linux/amd64,linux/arm64 -t genregenie .
# The tag of the base image moves; docs/hosting.md, "Pin the base image", names one by its digest.
ARG PYTHON=3.13-slim-bookworm

FROM python:${PYTHON} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ONLY_BINARY=:all:
WORKDIR /build
RUN python -m venv /opt/venv
COPY requirements/runtime.txt requirements/
RUN /opt/venv/bin/python -m pip install --require-hashes -r requirements/runtime.txt

FROM build AS build-page
COPY requirements/web.txt requirements/
RUN /opt/venv/bin/python -m pip install --require-hashes -r requirements/web.txt

FROM build AS build-worker
COPY requirements/scale.txt requirements/
RUN /opt/venv/bin/python -m pip install --require-hashes -r requirements/scale.txt

# The program, and the folder for its data with the owner that a new volume takes over.
FROM python:${PYTHON} AS program
COPY LICENSE genregenie.py /app/
COPY core /app/core
COPY locales /app/locales
COPY models /app/models
RUN mkdir -m 0700 /data && chown 10001:10001 /data
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GENREGENIE_DATA_DIR=/data
WORKDIR /app
VOLUME /data
ENTRYPOINT ["/opt/venv/bin/python", "-m", "genregenie"]

FROM program AS page
COPY --from=build-page /opt/venv /opt/venv
COPY web /app/web
COPY examples/demo.ogg /app/examples/
RUN ["/opt/venv/bin/python", "-m", "compileall", "-q", "/app"]
USER 10001:10001
# The page asks for its password everywhere: that it takes connections is its health.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["/opt/venv/bin/python", "-c", "import os, socket; socket.create_connection(('127.0.0.1', int(os.environ.get('GENREGENIE_HTTP_PORT') or 8081)), 4).close()"]
CMD ["web"]

FROM program AS worker
COPY --from=build-worker /opt/venv /opt/venv
COPY bot /app/bot
COPY web /app/web
COPY examples/demo.ogg /app/examples/
RUN ["/opt/venv/bin/python", "-m", "compileall", "-q", "/app"]
USER 10001:10001
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["/opt/venv/bin/python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + (os.environ.get('GENREGENIE_HTTP_PORT') or '8080') + '/healthz', timeout=4)"]
CMD ["worker"]

FROM program AS bot
COPY --from=build-page /opt/venv /opt/venv
COPY bot /app/bot
COPY web /app/web
COPY examples/demo.ogg /app/examples/
RUN ["/opt/venv/bin/python", "-m", "compileall", "-q", "/app"]
USER 10001:10001
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["/opt/venv/bin/python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + (os.environ.get('GENREGENIE_HTTP_PORT') or '8080') + '/healthz', timeout=4)"]
CMD ["bot"]
