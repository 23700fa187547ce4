"""The levels of clustered data: at which one a variable varies, and centring by them."""
