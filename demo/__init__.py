"""The data of `vkg demo`: no code, a package so that a wheel has them too. README.md says where each file is from."""
