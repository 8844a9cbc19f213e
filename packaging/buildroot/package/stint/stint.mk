################################################################################
#
# stint
#
################################################################################

STINT_VERSION = 0.1.0
STINT_SITE = $(call github,stint-edge,stint,v$(STINT_VERSION))
STINT_LICENSE = Apache-2.0
STINT_LICENSE_FILES = LICENSE

# There is no release yet whose hash could stand in stint.hash.
BR_NO_CHECK_HASH_FOR += $(STINT_SOURCE)

ifeq ($(BR2_PACKAGE_STINT_ROUTER),y)
STINT_FEATURES = router
else ifeq ($(BR2_PACKAGE_STINT_TINY_TLS),y)
STINT_FEATURES = tiny,tls
else ifeq ($(BR2_PACKAGE_STINT_TINY),y)
STINT_FEATURES = tiny
else
STINT_FEATURES = gateway
endif

STINT_CARGO_ENV = STINT_BOARD=$(call qstrip,$(BR2_PACKAGE_STINT_BOARD))

STINT_CARGO_BUILD_OPTS = \
	--package stint-agent \
	--no-default-features \
	--features $(STINT_FEATURES)

STINT_CARGO_INSTALL_OPTS = \
	--bin stint \
	--no-default-features \
	--features $(STINT_FEATURES)

# cargo installs into /usr/bin; the init scripts name /usr/sbin.
define STINT_INSTALL_FILES
	$(INSTALL) -d -m 0755 $(TARGET_DIR)/usr/sbin
	mv $(TARGET_DIR)/usr/bin/stint $(TARGET_DIR)/usr/sbin/stint
	$(INSTALL) -D -m 0644 $(@D)/packaging/agent.json \
		$(TARGET_DIR)/etc/stint/agent.json
endef
STINT_POST_INSTALL_TARGET_HOOKS += STINT_INSTALL_FILES

define STINT_INSTALL_INIT_SYSV
	$(INSTALL) -D -m 0755 $(@D)/packaging/init.d/stint \
		$(TARGET_DIR)/etc/init.d/S90stint
endef

define STINT_INSTALL_INIT_OPENRC
	$(INSTALL) -D -m 0755 $(@D)/packaging/openrc/stint \
		$(TARGET_DIR)/etc/init.d/stint
endef

define STINT_INSTALL_INIT_SYSTEMD
	$(INSTALL) -D -m 0644 $(@D)/packaging/systemd/stint.service \
		$(TARGET_DIR)/usr/lib/systemd/system/stint.service
endef

$(eval $(cargo-package))
