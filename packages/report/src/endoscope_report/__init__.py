"""`endoscope report`: what heap dumps say, on the machine of who reads them."""
