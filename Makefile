# The front door. `make` alone lists the commands.
.DEFAULT_GOAL := help
help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16
test: ## all tests
	cargo test --workspace
check: ## format and clippy
	cargo fmt --check
	cargo clippy --workspace --all-targets -- -D warnings
.PHONY: help test check
