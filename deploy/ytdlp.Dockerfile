# Updates yt-dlp and its JavaScript runtime, and nothing else, in an image that is there already; it needs no folder:
#   docker build --no-cache -t genregenie - < deploy/ytdlp.Dockerfile
# The page's image: --build-arg IMAGE=genregenie-page -t genregenie-page
ARG IMAGE=genregenie

FROM ${IMAGE} AS updated
USER root
RUN ["/opt/venv/bin/python", "-m", "pip", "install", "--no-cache-dir", "--only-binary=:all:", "--upgrade", "yt-dlp[default,deno]"]
USER 10001:10001
