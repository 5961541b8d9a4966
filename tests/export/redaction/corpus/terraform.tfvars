region      = "‹eu-central-1›"
db_password = "«tf db password»"
api_tokens  = ["«tf-token-1»", "«tf-token-2»"]
secret_map = {
  a = "«tf-map-1»"
  b = "«tf-map-2»"
}
instance_count = ‹3›
