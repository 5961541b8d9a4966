curl -u ‹admin›:«curl-user-pw» https://‹host›/x
curl --user '‹admin›:«curl quoted»' -H "Authorization: Token «curl-header-token»" ‹url›
curl -H 'X-Auth-Token: «curl header two»' -H 'Cookie: a=«curl-cookie»; b=2' ‹url2›
docker run -u ‹1000:1000› -e MYSQL_ROOT_PASSWORD=«docker-env» ‹mysql:8›
mysql --user=‹root› --password=«mysql-long-flag» ‹db›
java -Dapp.name=‹router› -Djavax.net.ssl.keyStorePassword=«java-system-prop» -jar ‹app.jar›
gunicorn --bind ‹0.0.0.0:8000› --env SECRET_KEY='«gunicorn env»' ‹app:wsgi›
tool --passphrase '«it'"'"'s shlex»' --out ‹file›
tool --passphrase «back\ slash» --then ‹file2›
ALTER USER ‹app› WITH PASSWORD '«sql ''alter'' pw»';
celery -A proj -b amqp://‹u›:«celery-cmd-pw»@‹mq›// worker
ENV GITHUB_TOKEN «dockerfile-env»
