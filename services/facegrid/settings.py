"""Settings, read once from `FACEGRID_…` variables by the composition root; flags take their place."""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

_MIB = 1024 * 1024


def _home() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "facegrid"


class Settings(BaseSettings):
    """What an operator may set."""

    model_config = SettingsConfigDict(env_prefix="FACEGRID_", frozen=True)

    data: Path = Field(default_factory=lambda: _home() / "data", description="folder of all that is stored")
    models: Path = Field(default_factory=lambda: _home() / "models", description="folder of the model packs")
    store: str = Field(default="", description="object store: https://HOST[:PORT]/BUCKET[/PREFIX]")
    store_credentials: Path | None = Field(default=None, description="file with a [default] section of keys")
    store_ca: Path | None = Field(default=None, description="PEM file of the CA that the store's server has")
    store_region: str = Field(default="", description="region of the bucket; empty: the server is asked")
    store_create_bucket: bool = Field(default=False, description="make the bucket where it is missing")
    pack: str = Field(default="open", description="pack for requests and galleries that name none")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="what models run on")
    half_precision: bool = Field(default=False, description="let CUDA calculate with 16 bits")
    cuda_memory_mib: int = Field(
        default=0, ge=0, description="most memory of the GPU that each model takes; 0: no limit"
    )
    milvus: str = Field(default="", description="index in Milvus: a path is Milvus Lite, an URL a server")
    milvus_token: SecretStr = Field(default=SecretStr(""), description="user:password or API key")
    milvus_database: str = Field(default="", description="Milvus's own default database where empty")
    milvus_ca: Path | None = Field(default=None, description="PEM file of the CA that Milvus has")
    milvus_server_name: str = Field(
        default="", description="name in Milvus's certificate where it is not the URL's"
    )
    milvus_replicas: int = Field(default=1, gt=0, description="copies of a collection in memory")
    milvus_shards: int = Field(default=1, gt=0, le=16, description="shards of the collections that are made")
    milvus_consistency: Literal["Strong", "Session", "Bounded", "Eventually"] = Field(
        default="Bounded", description="consistency level of searches"
    )
    milvus_timeout_s: float = Field(default=10, gt=0, description="time that a call of Milvus may take")
    tls_certificate: Path | None = Field(default=None, description="PEM file of the server's certificate")
    tls_key: Path | None = Field(default=None, description="PEM file of the certificate's key")
    tls_client_ca: Path | None = Field(default=None, description="PEM file of the CA that clients have")
    tls_server_ca: Path | None = Field(
        default=None, description="PEM file of the CA that other servers on the store have"
    )
    auth_jwks: str = Field(default="", description="keys that sign tokens: a file, or an https URL")
    auth_jwks_ca: Path | None = Field(default=None, description="PEM file of the CA that this URL has")
    auth_issuer: str = Field(default="", description="issuer that tokens must name; empty: any")
    auth_audience: str = Field(default="", description="audience that tokens must be for")
    auth_groups_claim: str = Field(default="groups", description="claim that lists a caller's groups")
    auth_policy: Path | None = Field(default=None, description="TOML file of roles and grants")
    compact_after: int = Field(
        default=5_000,
        gt=0,
        description="changes of a gallery that are compacted together",
    )
    smallest_face_px: float = Field(default=20, gt=0, description="smaller faces are never used")
    attributes: str = Field(
        default="", description="attributes that any request may ask for, with commas between; or all"
    )
    detection: Literal["reference", "fast"] = Field(
        default="reference", description="how faces are searched for"
    )
    any_rotation: bool = Field(default=False, description="find faces on their side or head as well")
    max_photograph_bytes: int = Field(default=20 * _MIB, gt=0)
    max_photograph_pixels: int = Field(
        default=64_000_000, gt=0, le=178_956_970, description="Pillow's own bound"
    )
    max_message_bytes: int = Field(default=32 * _MIB, gt=0)
    max_calls: int = Field(default=64, gt=0, description="calls under way before new ones are refused")
    metrics: str = Field(default="", description="HOST:PORT for Prometheus; empty: none is served")
    audit_share: float = Field(
        default=0.001,
        ge=0,
        le=1,
        description="share of approximate searches that exact search is held against",
    )
    advertise: str = Field(
        default="", description="HOST:PORT at which other servers on the store reach this one, if another"
    )
    drain_s: float = Field(default=30, ge=0, description="time that calls have to end after SIGTERM")
